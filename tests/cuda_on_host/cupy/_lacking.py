"""What NumPy has and CuPy has not."""

NAMES = frozenset(
    ["asmatrix", "block", "bmat", "busday_count", "busday_offset", "busdaycalendar", "bytes_", "char", "character", "clongdouble", "complex256", "core", "ctypeslib", "datetime64", "datetime_as_string", "datetime_data", "einsum_path", "emath", "errstate", "f2py", "flexible", "float128", "frompyfunc", "fromregex", "geomspace", "get_include", "getbufsize", "geterr", "geterrcall", "histogram_bin_edges", "info", "insert", "is_busday", "isnat", "lib", "longdouble", "ma", "matrix", "matvec", "memmap", "nanpercentile", "nanquantile", "ndenumerate", "nditer", "nested_iters", "object_", "polyder", "polydiv", "polyint", "rec", "recarray", "record", "setbufsize", "seterr", "seterrcall", "spacing", "str_", "strings", "timedelta64", "typing", "unstack", "vecdot", "vecmat", "void"]
)
