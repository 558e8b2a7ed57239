{% do adapter.drop_schema(api.Relation.create(database='warehouse', schema='main')) %}select 1 as id
