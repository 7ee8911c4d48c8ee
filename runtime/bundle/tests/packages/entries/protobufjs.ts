import protobuf, { Type, Field, Writer } from "protobufjs";
import * as light from "protobufjs/light";
const root = protobuf.parse(
  'syntax = "proto3"; message Move { string who = 1; repeated int32 xy = 2; oneof kind { bool jump = 3; double speed = 4; } }',
).root;
const Move = root.lookupType("Move");
const bytes = Move.encode(Move.create({ who: "me", xy: [3, -4], speed: 1.5 })).finish();
console.log(Array.from(bytes).join(), JSON.stringify(Move.decode(bytes)), Move.verify({ who: 5 }), Writer.name, typeof light.Root);
export const own = new Type("Own").add(new Field("id", 1, "uint64"));
console.log(JSON.stringify(own.toJSON()));
