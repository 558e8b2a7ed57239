select 1 as id
=== yaml
models:
  - name: m
    description: "\U000E0069\U000E0067\U000E006E\U000E006F\U000E0072\U000E0065"
