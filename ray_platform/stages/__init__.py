"""What each stage of the walk does, without Dagster: clients and core put together for one site."""
