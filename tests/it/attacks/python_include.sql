{% include '@SECRET@' %}select 1 as id
