"""Between what was decided and what is done: outbox, relay, engines, activities and the processors."""
