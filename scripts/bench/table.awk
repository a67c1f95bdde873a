# Prints figures as a table in Markdown: one line for each row, in the order of their
# first figures, with median, minimum and maximum.
#
# Input: ROW<tab>METRIC<tab>VALUE, a line for each round. The variable columns contains
# METRIC:HEADING:FORMAT[:ratio], one in each line; METRIC/METRIC is a quotient, which is
# calculated in each round. For a ratio, each figure is divided by the figure of the
# group's first row in the same round, and the median of these quotients is printed, so
# that a round in which the whole machine is slow has no effect. A group are the rows
# whose names are equal up to a comma.

function median(list, n,   i, j, t) {
  for (i = 2; i <= n; i++)
    for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
      t = list[j]
      list[j] = list[j - 1]
      list[j - 1] = t
    }
  return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# put sets the next cell of a line of the table; line 0 is the heading.
function put(line, text) {
  text = text ""
  cell[line, ++cells[line]] = text
  if (length(text) > width[cells[line]]) width[cells[line]] = length(text)
}

# take copies the figures of a row into list, and returns how many there are.
function take(row, metric, list,   part, i) {
  if (split(metric, part, "/") == 1) part[2] = ""
  for (i = 1; i <= count[row, part[1]]; i++) {
    list[i] = value[row, part[1], i]
    if (part[2] == "") continue
    if (value[row, part[2], i] <= 0) return 0
    list[i] /= value[row, part[2], i]
  }
  return i - 1
}

# figures puts the cells of one column: median with its range, and the ratio.
function figures(line, row, base, column,   part, n, list, text) {
  split(column, part, ":")
  n = take(row, part[1], list)
  if (n == 0) {
    put(line, "-")
    if (part[4] == "ratio") put(line, "-")
    return
  }
  text = sprintf(part[3], median(list, n))
  if (n > 1) text = text sprintf(" (" part[3] "-" part[3] ")", list[1], list[n])
  put(line, text)
  if (part[4] == "ratio") put(line, ratio(row, base, part[1]))
}

function ratio(row, base, metric,   i, list) {
  for (i = 1; i <= count[row, metric]; i++) {
    if (value[base, metric, i] <= 0) return "-"
    list[i] = value[row, metric, i] / value[base, metric, i]
  }
  return sprintf("%.2f", median(list, i - 1))
}

BEGIN { FS = "\t" }

{
  if (!($1 in seen)) {
    seen[$1] = 1
    order[++rows] = $1
  }
  value[$1, $2, ++count[$1, $2]] = $3 + 0
}

END {
  n = split(columns, spec, "\n")
  put(0, "")
  for (c = 1; c <= n; c++) {
    split(spec[c], part, ":")
    put(0, part[2])
    if (part[4] == "ratio") put(0, "ratio")
  }
  for (r = 1; r <= rows; r++) {
    group = order[r] ~ /,/ ? order[r] : ""
    sub(/,.*/, "", group)
    if (!(group in first)) first[group] = order[r]
    put(r, order[r])
    for (c = 1; c <= n; c++) figures(r, order[r], first[group], spec[c])
  }
  for (r = 0; r <= rows; r++) {
    for (c = 1; c <= cells[0]; c++) printf c == 1 ? "| %-*s |" : " %*s |", width[c], cell[r, c]
    print ""
    if (r > 0) continue
    for (c = 1; c <= cells[0]; c++) {
      rule = sprintf("%*s", width[c] + 1, "")
      gsub(/ /, "-", rule)
      printf c == 1 ? "|%s-|" : "%s:|", rule
    }
    print ""
  }
}
