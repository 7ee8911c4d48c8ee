import { faker, fakerDE, base, en, Faker } from "@faker-js/faker";
faker.seed(7);
fakerDE.seed(7);
console.log(
  faker.person.fullName(),
  faker.internet.email(),
  faker.location.city(),
  faker.number.int(100),
  fakerDE.person.firstName(),
  faker.helpers.arrayElement([1, 2, 3]),
  faker.string.uuid(),
);
export const small = new Faker({ locale: [en, base], seed: 3 });
console.log(small.lorem.words(3), Object.keys(faker).length);
