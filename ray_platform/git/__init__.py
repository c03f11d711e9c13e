"""Git: what commits hold."""
