/**
 * Functions of PostgreSQL that neither write nor change the session, nor run SQL that is handed to them as text; and,
 * of those that are called by the name of a type or a column, what columns are often named as well.
 * What is missing here is only slower: such a statement enters as a writer and its session is reset afterwards.
 */
export const HARMLESS = words(`
  count sum avg min max array_agg string_agg bool_and bool_or every json_agg jsonb_agg json_object_agg
  jsonb_object_agg bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop
  covar_samp percentile_cont percentile_disc mode grouping any_value range_agg

  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value

  lower upper initcap length char_length character_length octet_length bit_length trim ltrim rtrim btrim substring
  substr left right replace translate concat concat_ws format split_part strpos position overlay reverse repeat lpad
  rpad md5 sha224 sha256 sha384 sha512 encode decode convert_from convert_to to_hex starts_with ascii chr normalize
  regexp_replace regexp_match regexp_matches regexp_count regexp_instr regexp_like regexp_substr
  regexp_split_to_array regexp_split_to_table string_to_array string_to_table quote_ident quote_literal quote_nullable

  abs ceil ceiling floor round trunc mod div power sqrt cbrt exp ln log sign random degrees radians sin cos tan asin
  acos atan atan2 pi width_bucket gcd lcm factorial min_scale scale trim_scale hashtext hashtextextended

  now age date date_part date_trunc date_bin extract make_date make_time make_timestamp make_timestamptz
  make_interval clock_timestamp statement_timestamp transaction_timestamp timezone justify_days justify_hours
  justify_interval isfinite to_char to_date to_number to_timestamp

  to_json to_jsonb row_to_json json_build_object jsonb_build_object json_build_array jsonb_build_array json_object
  jsonb_object json_array_length jsonb_array_length json_array_elements jsonb_array_elements
  json_array_elements_text jsonb_array_elements_text json_each jsonb_each json_each_text jsonb_each_text
  json_object_keys jsonb_object_keys json_typeof jsonb_typeof json_strip_nulls jsonb_strip_nulls jsonb_pretty
  jsonb_set jsonb_set_lax jsonb_insert json_extract_path jsonb_extract_path json_extract_path_text
  jsonb_extract_path_text jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array
  jsonb_path_query_first json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset json_populate_record
  jsonb_populate_record json_populate_recordset jsonb_populate_recordset json_exists json_query json_value

  array_length array_ndims array_lower array_upper array_dims cardinality unnest array_append array_prepend array_cat
  array_remove array_replace array_position array_positions array_to_string array_to_json array_fill trim_array
  array_sample array_shuffle generate_series generate_subscripts

  int4range int8range numrange daterange tsrange tstzrange isempty lower_inc upper_inc lower_inf upper_inf
  range_merge multirange

  to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline
  setweight strip numnode querytree tsvector_to_array array_to_tsvector

  gen_random_uuid uuidv4 uuidv7 uuid_extract_timestamp num_nulls num_nonnulls coalesce nullif greatest least
  current_setting

  name text bpchar bytea bool int2 int4 int8 float4 float8 money oid uuid json jsonb point path box circle polygon
  inet cidr macaddr host network netmask hostmask family broadcast masklen abbrev area center height width radius
  diameter npoints isopen isclosed
`)

/** Words of SQL that a parenthesis may follow without anything being called, and types that take a length. */
export const BEFORE_PARENTHESIS = words(`
  select distinct on from lateral join using where and or not in any all some exists between like ilike similar to is
  case when then else as materialized union intersect except with values into set returning limit offset fetch having
  by group filter over within partition order array row cast conflict do update cube rollup sets interval
  varchar char character bpchar numeric decimal timestamp timestamptz time timetz bit varbit float
`)

function words(list: string): ReadonlySet<string> {
  return new Set(list.trim().split(/\s+/))
}
