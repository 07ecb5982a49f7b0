"""The embedded database on DuckDB: tables, writing, compaction, queries."""
