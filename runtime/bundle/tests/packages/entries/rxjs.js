import { from, Subject, interval, merge, of, lastValueFrom, BehaviorSubject } from "rxjs";
import { map, filter, take, scan, bufferCount, catchError } from "rxjs/operators";
import { ajax } from "rxjs/ajax";
from([1, 2, 3, 4])
  .pipe(
    filter((n) => n % 2 === 0),
    map((n) => n * 10),
    scan((a, b) => a + b),
  )
  .subscribe((n) => console.log("n", n));
const subject = new Subject();
subject.pipe(bufferCount(2)).subscribe((pair) => console.log(pair.join()));
subject.next(1);
subject.next(2);
console.log(await lastValueFrom(interval(1).pipe(take(3))), await lastValueFrom(merge(of(1), of(2))), typeof ajax, typeof catchError);
export const state = new BehaviorSubject(5);
