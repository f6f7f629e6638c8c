-- A database for Kundeforhold, and two roles with no more rights than they need. Run once, as a superuser:
--   psql -f deploy/postgres.sql
-- kundeforhold_owner owns the tables: `kundeforhold migrate` and `audit prune` run as it. kundeforhold_service serves: it reads and writes rows,
-- and can neither change nor drop a table; its instances are set to store.migrate = false. Give both a way to log in: a
-- password by \password, or a certificate in pg_hba.conf.
CREATE ROLE kundeforhold_owner LOGIN;
CREATE ROLE kundeforhold_service LOGIN;
CREATE DATABASE kundeforhold OWNER kundeforhold_owner ENCODING 'UTF8' TEMPLATE template0;

\connect kundeforhold
REVOKE ALL ON DATABASE kundeforhold FROM PUBLIC;
-- Deliveries are compared in temporary tables.
GRANT CONNECT, TEMPORARY ON DATABASE kundeforhold TO kundeforhold_service;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO kundeforhold_owner;
GRANT USAGE ON SCHEMA public TO kundeforhold_service;
ALTER DEFAULT PRIVILEGES FOR ROLE kundeforhold_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO kundeforhold_service;

-- What is recorded of use can be read and added to; only the owner prunes (`kundeforhold audit prune`).
CREATE SCHEMA record AUTHORIZATION kundeforhold_owner;
GRANT USAGE ON SCHEMA record TO kundeforhold_service;
ALTER DEFAULT PRIVILEGES FOR ROLE kundeforhold_owner IN SCHEMA record
    GRANT SELECT, INSERT ON TABLES TO kundeforhold_service;
