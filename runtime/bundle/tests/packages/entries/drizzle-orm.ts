import { sql, eq, and, desc, relations } from "drizzle-orm";
import { pgTable, serial, text, integer, PgDialect, QueryBuilder } from "drizzle-orm/pg-core";
import { sqliteTable, text as stext, SQLiteSyncDialect } from "drizzle-orm/sqlite-core";
export const users = pgTable("users", { id: serial("id").primaryKey(), name: text("name").notNull(), age: integer("age").default(3) });
export const notes = sqliteTable("notes", { body: stext("body") });
export const links = relations(users, ({ many }) => ({ all: many(users) }));
const query = new QueryBuilder()
  .select()
  .from(users)
  .where(and(eq(users.id, 4), sql`${users.name} like ${"%x"}`))
  .orderBy(desc(users.age));
console.log(
  JSON.stringify(query.toSQL()),
  JSON.stringify(new PgDialect().sqlToQuery(sql`select ${users.name}`)),
  new SQLiteSyncDialect().sqlToQuery(sql`${notes.body}`).sql,
);
