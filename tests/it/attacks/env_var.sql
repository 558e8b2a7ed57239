select '{{ env_var('@ENV@') }}' as id
