select '{{ target }}' || '{{ env_var('HOME') }}' as id
