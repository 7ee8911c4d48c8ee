import {
  graphql,
  buildSchema,
  parse,
  print,
  GraphQLObjectType,
  GraphQLSchema,
  GraphQLString,
  validate,
  introspectionFromSchema,
} from "graphql";
const schema = buildSchema('type Query { hello(name: String = "you"): String, list: [Int!]! }');
const result = await graphql({
  schema,
  source: '{ hello list other: hello(name: "x") }',
  rootValue: { hello: ({ name }) => "hi " + name, list: [1, 2] },
});
console.log(
  JSON.stringify(result),
  print(parse("query A{a{b(c:1)}}")),
  validate(schema, parse("{ nope }")).map(String).join(),
  introspectionFromSchema(schema).__schema.types.length,
);
export const own = new GraphQLSchema({ query: new GraphQLObjectType({ name: "Q", fields: { a: { type: GraphQLString } } }) });
