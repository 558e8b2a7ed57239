select * from secret.csv
