#!/bin/bash
# Runs once, when PostgreSQL makes its data directory: a database and a role per service, and the gateway's own book.
set -euo pipefail
for name in order inventory risk payment logistics aftersales gateway; do
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --set name="$name" --set password="$LARDER_DATABASE_PASSWORD" <<'SQL'
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke connect on database :"name" from public;
SQL
done
