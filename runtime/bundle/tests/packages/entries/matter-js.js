import Matter, { Bodies, Engine } from "matter-js";
import * as all from "matter-js";
const engine = Engine.create(),
  ball = Bodies.circle(0, 0, 5),
  ground = Matter.Bodies.rectangle(0, 60, 200, 20, { isStatic: true });
Matter.Composite.add(engine.world, [ball, ground]);
for (let i = 0; i < 60; i++) Engine.update(engine, 16);
console.log(ball.position.y.toFixed(3), Matter.Composite.allBodies(engine.world).length, Matter.version, Object.keys(all).length);
export default Matter;
