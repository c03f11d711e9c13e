"""One environment as a change works in it: held against other changes."""
