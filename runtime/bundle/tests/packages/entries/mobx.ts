import { makeAutoObservable, autorun, reaction, runInAction, observable, toJS, makeObservable, action, computed } from "mobx";
export class Store {
  count = 0;
  list = [1];
  constructor() {
    makeAutoObservable(this);
  }
  get double() {
    return this.count * 2;
  }
  add() {
    this.count++;
  }
}
const store = new Store();
const stop = autorun(() => console.log("double", store.double));
store.add();
runInAction(() => {
  store.count = 5;
  store.list.push(2);
});
stop();
store.add();
console.log(JSON.stringify(toJS(store)), observable.map([["a", 1]]).size, typeof reaction);
class Other {
  value = 1;
  constructor() {
    makeObservable(this, { value: observable, bump: action, next: computed });
  }
  bump() {
    this.value++;
  }
  get next() {
    return this.value + 1;
  }
}
const other = new Other();
other.bump();
console.log(other.next);
