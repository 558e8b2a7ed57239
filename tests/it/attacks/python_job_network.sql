{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import socket
for address in [('127.0.0.1', @PORT@), ('::1', @PORT@)]:
    try:
        socket.create_connection(address, 2).send(b'x')
    except OSError:
        pass
def model(dbt, session):
    return None
