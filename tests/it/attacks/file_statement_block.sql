{% call statement('x') %}copy (select 1) to '@DROP@'{% endcall %}select 1 as id
