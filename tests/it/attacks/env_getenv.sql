select getenv('@ENV@') as id
