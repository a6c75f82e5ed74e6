// The three-round-trips baseline: for each request one statement finds the API key, one notes its use, one inserts the order.
// Environment: PGSOCKET (directory), PGDATABASE, PGUSER, PORT.
import { createHash } from "node:crypto";
import process from "node:process";

import { serve } from "@hono/node-server";
import { and, eq, isNull } from "drizzle-orm";
import { bigint, jsonb, pgTable, text, timestamp, uuid } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/postgres-js";
import { Hono } from "hono";
import postgres from "postgres";

const AMOUNT_MAX = Number.MAX_SAFE_INTEGER;
const CONNECTIONS = 10;

const apiKeys = pgTable("api_keys", {
  id: uuid("id").primaryKey(),
  merchantId: uuid("merchant_id").notNull(),
  keyHash: text("key_hash").notNull(),
  revokedAt: timestamp("revoked_at", { withTimezone: true }),
  lastUsedAt: timestamp("last_used_at", { withTimezone: true }),
});

const orders = pgTable("orders", {
  id: uuid("id").primaryKey(),
  merchantId: uuid("merchant_id").notNull(),
  externalId: text("external_id").notNull(),
  amount: bigint("amount", { mode: "number" }).notNull(),
  currency: text("currency").notNull(),
  status: text("status").notNull().default("pending"),
  customerId: text("customer_id"),
  description: text("description"),
  metadata: jsonb("metadata").notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
});

const client = postgres({
  host: process.env.PGSOCKET,
  port: 5432,
  database: process.env.PGDATABASE,
  username: process.env.PGUSER,
  max: CONNECTIONS,
});
const database = drizzle(client);
const app = new Hono();

function refusal(code, message) {
  return { code, message };
}

function problemOf(body) {
  if (body === null || typeof body !== "object") return "The body must be an object.";
  if (!Number.isInteger(body.amount) || body.amount < 1 || body.amount > AMOUNT_MAX) return "amount must be an integer.";
  if (typeof body.currency !== "string" || !/^[A-Za-z]{3}$/.test(body.currency)) return "currency must be a code.";
  for (const field of ["externalId", "customerId", "description"]) {
    if (body[field] !== undefined && (typeof body[field] !== "string" || body[field].length > 1000)) {
      return `${field} must be a text.`;
    }
  }
  return null;
}

app.use("/v1/*", async (context, next) => {
  const key = context.req.header("x-api-key");
  if (!key) return context.json(refusal("unauthorized", "An API key is needed."), 401);
  const keyHash = createHash("sha256").update(key).digest("hex");
  const [found] = await database
    .select({ id: apiKeys.id, merchantId: apiKeys.merchantId })
    .from(apiKeys)
    .where(and(eq(apiKeys.keyHash, keyHash), isNull(apiKeys.revokedAt)))
    .limit(1);
  if (!found) return context.json(refusal("invalid_api_key", "This API key is not valid."), 401);
  await database.update(apiKeys).set({ lastUsedAt: new Date() }).where(eq(apiKeys.id, found.id));
  context.set("merchantId", found.merchantId);
  return next();
});

app.post("/v1/orders", async (context) => {
  const body = await context.req.json().catch(() => null);
  const problem = problemOf(body);
  if (problem) return context.json(refusal("validation_error", problem), 400);
  const [order] = await database
    .insert(orders)
    .values({
      merchantId: context.get("merchantId"),
      externalId: body.externalId ?? crypto.randomUUID().slice(0, 8),
      amount: body.amount,
      currency: body.currency.toUpperCase(),
      customerId: body.customerId,
      description: body.description,
      metadata: body.metadata ?? {},
    })
    .returning();
  return context.json(order, 201);
});

app.get("/health", (context) => context.json({ status: "ok" }));

const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(process.env.PORT) });
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    server.close();
    client.end({ timeout: 1 }).finally(() => process.exit(0));
  });
}
