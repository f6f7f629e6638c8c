-- How the two roles of postgres.sql log in. Run by psql, which reads the passwords from files.
\set ON_ERROR_STOP on
\set owner `cat /run/secrets/owner.password`
\set service `cat /run/secrets/service.password`
ALTER ROLE kundeforhold_owner PASSWORD :'owner';
ALTER ROLE kundeforhold_service PASSWORD :'service';
