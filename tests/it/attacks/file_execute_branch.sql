{% if execute %}select content as id from read_text('@SECRET@'){% else %}select 1 as id{% endif %}
