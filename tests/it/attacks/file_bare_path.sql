select * from '@SECRET@'
