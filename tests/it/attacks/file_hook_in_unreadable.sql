{% docs x %}{% enddocs %}{{ config(post_hook="copy (select 1) to '@DROP@'") }}select 1 as id
