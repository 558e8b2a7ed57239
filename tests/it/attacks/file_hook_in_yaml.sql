select 1 as id
=== yaml
models:
  - name: m
    config:
      post-hook: "copy (select 1) to '@DROP@'"
