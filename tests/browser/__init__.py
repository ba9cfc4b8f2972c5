"""What people look at, looked at by a real browser."""
