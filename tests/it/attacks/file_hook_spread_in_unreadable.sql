{% test x() %}{% endtest %}{{ config(**{'post_' ~ 'hook': "copy (select 1) to '@DROP@'"}) }}select 1 as id
