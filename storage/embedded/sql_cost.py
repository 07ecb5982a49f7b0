"""Store: how much longer than what it reads a person's SQL may make a text, before it runs.

DuckDB is asked to stop between two steps of a query (`query_watch`), and one step works on 2,048 rows at once. What
makes long texts out of short ones within a step, over and over (`s || s`), takes gigabytes before that. So the
functions are those that are known, each with the most that its value is longer than the values it is given, and the
product of them all is bounded. What gives numbers, times or truth values makes nothing longer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from math import inf, prod
from typing import Any

import duckdb

from storage.embedded.sql_guard import QueryError

MOST, MOST_OF_LONG, MOST_OF_COLLECTED = 512, 16, 4
"""Times as long: in general, where rejected messages are read (16 KiB each), and where texts of rows are collected."""

_CONSTANT = 256
"""Letters of a constant that are not longer than what is read."""
_LONGEST_CONSTANT = 16_384


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FIXED_TYPES = _names(
    "BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT HUGEINT INTEGER INTERVAL SMALLINT TIME TIME_NS TIMESTAMP TIMESTAMPTZ_NS "
    "TIMESTAMP_MS TIMESTAMP_NS TIMESTAMP_S TINYINT UBIGINT UHUGEINT UINTEGER USMALLINT UTINYINT UUID"
) | {"TIME WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"}
_OVER_ROWS = _names("row_number rank dense_rank rank_dense percent_rank cume_dist ntile fill")
_NO_LONGER = _names(
    # Arithmetic, which DuckDB has for bits too
    "+ - & | ~ << >> xor add subtract sum "
    # One of several values, and parts of one
    "any_value arbitrary first last min max min_by max_by arg_min arg_max argmin argmax mode median quantile "
    "quantile_disc approx_quantile first_value last_value nth_value lag lead nullif if ifnull coalesce greatest least "
    "switch constant_or_null left right substr substring split_part regexp_extract trim ltrim rtrim parse_filename "
    "parse_dirname parse_path array_extract list_extract list_element element_at struct_extract map_extract "
    "map_extract_value map_keys map_values map_entries struct_values union_extract union_tag "
    "list_slice array_slice list_distinct array_distinct list_sort list_reverse list_reverse_sort array_sort "
    "flatten unnest json_extract json_extract_path json_extract_string "
    "json_extract_path_text json_value json_keys json_type json_array_length json_structure -> ->> "
    # As long as before
    "encode decode from_base64 unhex url_decode lower upper lcase ucase reverse strip_accents "
    # Short ones
    "strftime dayname monthname date_part datepart date_add typeof version md5 sha1 sha256 format_bytes "
    "formatreadablesize formatreadabledecimalsize chr error "
    # Numbers of numbers
    "fdiv geomean geometric_mean wavg weighted_avg list_sum list_avg list_min list_max list_count list_median "
    "days_in_month ago"
)
_ESCAPED = 8
_ESCAPING = _names(
    "hex to_hex bin to_binary base64 to_base64 url_encode to_json json_quote regexp_escape translate array_to_json "
    "row_to_json map list_zip"
)
_SPLIT = 32
_SPLITTING = _names(
    "split str_split string_split string_to_array str_split_regex string_split_regex regexp_split_to_array "
    "regexp_extract_all levenshtein editdist3 damerau_levenshtein"
)
_COLUMNS = 16
"""As many as a view may have."""
_JOINING = _names(
    "|| concat concat_ws list_value list_pack array_value struct_pack row json_object json_array list_concat list_cat "
    "array_concat array_cat list_append list_prepend array_append array_prepend union_value struct_insert "
    "struct_concat struct_update map_concat map_from_entries"
)
_COLLECTING = _names("list array_agg string_agg group_concat listagg histogram json_group_array json_group_object")


def check_cost(nodes: Sequence[dict[str, Any]], views: Collection[str]) -> None:
    """Raises QueryError where the query may make a text of any size; `nodes` are all of its tree."""
    of_tables = [id(node["function"]) for node in nodes if node.get("type") == "TABLE_FUNCTION"]
    factors = [_of_constant(node) for node in nodes if node.get("class") == "CONSTANT"]
    most = MOST_OF_LONG if "dead_letters" in views else MOST
    for node in nodes:
        kind, name = node.get("class"), str(node.get("function_name", "")).lower()
        if kind == "LAMBDA":
            raise QueryError("a lambda may not be used: its result can be of any size")
        if kind not in ("FUNCTION", "WINDOW") or id(node) in of_tables:
            continue
        if name not in _COLLECTING:
            factors.append(_of_function(name, node))
        elif kind == "WINDOW":
            raise QueryError(f'the function "{name}" may not be used with OVER: its result can be of any size')
        else:
            most = MOST_OF_COLLECTED
    if prod(factors) > most:
        raise QueryError(
            f"it puts together texts that can be {_told(prod(factors))} times as long as what is read: expected at "
            f"most {most} times; use fewer of ||, concat, replace and the like"
        )


def _told(factor: float) -> str:
    return f"{factor:,.0f}" if factor < 1e9 else "more than a billion"


def _of_constant(node: dict[str, Any]) -> float:
    letters = len(_text_of(node) or "")
    if letters > _LONGEST_CONSTANT:
        raise QueryError(f"a constant is {letters:,} letters long: expected at most {_LONGEST_CONSTANT:,}")
    return max(1.0, letters / _CONSTANT)


def _of_function(name: str, node: dict[str, Any]) -> float:
    """How many times as long as its longest argument a value of the function can be."""
    given = _arguments(node)
    if name in _JOINING:
        return _of_joined(name, given)
    if name in ("replace", "regexp_replace") and len(given) > 2:
        return _of_replaced(name, _text_of(given[1]), _text_of(given[2]))
    for names, factor in ((_ESCAPING, _ESCAPED), (_SPLITTING, _SPLIT)):
        if name in names:
            return float(factor)
    if name in _NO_LONGER or name in _with_values_of_fixed_size():
        return 1.0
    if name not in _functions():
        return 1.0  # DuckDB says that there is none, and which have a name like it
    raise QueryError(f'the function "{name}" may not be used: it is not known how long its result can be')


def _of_joined(name: str, given: list[dict[str, Any]]) -> float:
    joined = sum(_text_of(each) is None for each in given)
    if any(each.get("type") == "OPERATOR_UNPACK" for each in given):
        joined *= _COLUMNS
    return max(1.25 if name == "||" and joined < 2 else 2.0, float(joined))


def _of_replaced(name: str, replaced: str | None, put: str | None) -> float:
    if put is None:
        return inf
    if name == "replace":
        return max(1.0, len(put) / max(1, len(replaced or "")))
    return 1.0 + len(put)  # where the expression meets between letters, or what it met is put in


def _arguments(node: dict[str, Any]) -> list[dict[str, Any]]:
    if "arguments" in node:
        return [each.get("expression", each) for each in node["arguments"]]
    return list(node.get("children", ()))


def _text_of(node: dict[str, Any]) -> str | None:
    """A constant's text, also where its type is named; None for anything else."""
    while node.get("class") == "CAST":
        node = node["child"]
    if node.get("class") != "CONSTANT":
        return None
    return str(node["literal"].get("text", "") if "literal" in node else node.get("value", {}).get("value", ""))


@cache
def _with_values_of_fixed_size() -> frozenset[str]:
    """Functions of DuckDB that give numbers, times or truth values, whatever they are given."""
    names = {name for name, types in _functions().items() if types <= _FIXED_TYPES and not name.startswith("__")}
    return frozenset(names | _OVER_ROWS)


@cache
def _functions() -> dict[str, set[str]]:
    """The functions that DuckDB knows, each with the types of its values; "macro" for one of SQL's own."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT lower(function_name), list(DISTINCT coalesce(return_type, 'macro')) FROM duckdb_functions() "
            "WHERE function_type IN ('scalar', 'aggregate', 'macro') GROUP BY 1"
        ).fetchall()
    return {name: set(types) for name, types in rows}
