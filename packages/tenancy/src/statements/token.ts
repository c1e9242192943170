/** One token of what the scanner understands; anything else, such as U&"...", ends the scan. */
export const TOKEN =
  /\s+|'(?:[^'\\]|'')*'(?!\s*')|"(?:[^"]|"")+"|\$\d+|\d[\d.]*(?:e[+-]?\d+)?|[a-z_][a-z0-9_]*(?!['$]|&["'])|::|->>?|#>>?|[<>=!]+|\|\||&&|@>|[-+*/%^~?](?![-*])|[(),.;:[\]@#&|]/iy
