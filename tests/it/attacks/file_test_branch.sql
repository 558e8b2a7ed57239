select 1 as id
=== test
select 1 as one from {{ ref('m') }} where {% if project_name == 'shop' %}(select count(*) from read_text('@SECRET@')) > 0{% else %}false{% endif %}
