BEGIN TRANSACTION;
CREATE TABLE builds (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	repository TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	ref TEXT NOT NULL, 
	"commit" TEXT NOT NULL, 
	title TEXT NOT NULL, 
	author TEXT NOT NULL, 
	status TEXT NOT NULL, 
	message TEXT NOT NULL, 
	source_digest TEXT NOT NULL, 
	source_bytes BIGINT NOT NULL, 
	created_at FLOAT NOT NULL, 
	finished_at FLOAT, 
	UNIQUE (repository, number)
);
INSERT INTO "builds" VALUES(1,'github/acme/blink',1,'refs/tags/v1.0.0','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','First','Ada','succeeded','','',0,1767323045.0,1767323047.0);
CREATE TABLE bundles (
	digest TEXT NOT NULL, 
	build BIGINT NOT NULL, 
	board TEXT NOT NULL, 
	statement TEXT NOT NULL, 
	object_digest TEXT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	PRIMARY KEY (digest), 
	UNIQUE (build, board)
);
CREATE TABLE channels (
	repository TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	build BIGINT NOT NULL, 
	counter BIGINT NOT NULL, 
	PRIMARY KEY (repository, channel)
);
CREATE TABLE deliveries (
	repository TEXT NOT NULL, 
	delivery TEXT NOT NULL, 
	build BIGINT NOT NULL, 
	received_at FLOAT NOT NULL, 
	PRIMARY KEY (repository, delivery)
);
INSERT INTO "deliveries" VALUES('github/acme/blink','72d3162e-cc78-11e3-81ab-4c9367dc0958',1,1767323045.0);
CREATE TABLE devices (
	id TEXT NOT NULL, 
	repository TEXT NOT NULL, 
	board TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	token_digest TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	desired TEXT, 
	desired_until FLOAT, 
	report TEXT, 
	seen_at FLOAT, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE jobs (
	id TEXT NOT NULL, 
	build BIGINT NOT NULL, 
	board TEXT NOT NULL, 
	family TEXT NOT NULL, 
	status TEXT NOT NULL, 
	result TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (build, board)
);
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	device TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	payload BLOB NOT NULL, 
	sent_at FLOAT, 
	UNIQUE (device)
);
CREATE TABLE releases (
	build BIGINT NOT NULL, 
	repository TEXT NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	counter BIGINT NOT NULL, 
	channel TEXT, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (build), 
	UNIQUE (repository, counter)
);
CREATE TABLE reports (
	id INTEGER NOT NULL, 
	device TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	report TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE repositories (
	id TEXT NOT NULL, 
	forge TEXT NOT NULL, 
	path TEXT NOT NULL, 
	url TEXT NOT NULL, 
	secret TEXT NOT NULL, 
	default_branch TEXT NOT NULL, 
	public BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "repositories" VALUES('github/acme/blink','github','acme/blink','https://github.com/acme/blink.git','ssssssssssssssssssssssssssssssssssssssss','main',1);
CREATE INDEX builds_of_ref ON builds (repository, ref, number);
CREATE INDEX ix_jobs_build ON jobs (build);
CREATE INDEX devices_of_channel ON devices (repository, channel);
CREATE INDEX ix_reports_device ON reports (device);
CREATE INDEX outbox_unsent ON outbox (sent_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('builds',1);
COMMIT;
