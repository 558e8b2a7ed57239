select * from $$@SECRET@$$
