import "./document-helper.js";
import { Observable, observable, volatile, html, css, Updates } from "@microsoft/fast-element";
export class Person {
  @observable first = "a";
  @observable last = "b";
  @volatile get full() {
    return this.first + this.last;
  }
  firstChanged(old: string, now: string) {
    console.log("changed", old, now);
  }
}
const person = new Person();
const binding = Observable.binding((p: Person) => p.full, { handleChange: () => console.log("full changed") } as never);
console.log(binding.observe(person, {} as never));
person.first = "z";
await null;
console.log(
  person.full,
  Observable.getAccessors(Person.prototype)
    .map((a) => a.name)
    .join(),
  typeof html,
  typeof css,
);
