select * from json_execute_serialized_sql(json_serialize_sql('select content as id from read_text(''@SECRET@'')'))
