select '{{ env_var('@ENV@', 'nothing') }}' as id
