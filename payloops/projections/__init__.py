"""What is read: a module per read table (events to rows), and the queries over them."""
