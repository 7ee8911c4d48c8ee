import "reflect-metadata";
import { container, injectable, inject, singleton, DependencyContainer } from "tsyringe";
@singleton()
class Clock {
  now() {
    return 5;
  }
}
@injectable()
class Room {
  constructor(
    @inject(Clock) private clock: Clock,
    @inject("name") readonly name: string,
  ) {}
  say() {
    return this.name + this.clock.now();
  }
}
container.register("name", { useValue: "r" });
const child: DependencyContainer = container.createChildContainer();
console.log(child.resolve(Room).say(), child.resolve(Clock) === container.resolve(Clock), Reflect.hasMetadata("k", Room));
export { Room };
