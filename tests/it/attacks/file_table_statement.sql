table '@SECRET@'
