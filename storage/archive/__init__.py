"""The archive: old days of points as Parquet files."""
