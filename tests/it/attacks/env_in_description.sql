select 1 as id
=== yaml
models:
  - name: m
    description: "{{ env_var('@ENV@', '') }}"
