/* Puts a word into a database in memory and says what it finds there; after
   "idle" it does nothing until it is killed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sqlite3-binding.h"

static int row(void *unused, int columns, char **values, char **names) {
	(void)unused, (void)columns, (void)names;
	puts(values[0]);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv) {
	const char *word = argc > 1 ? argv[1] : "hello";
	sqlite3 *db;
	char query[200], *error = NULL;
	snprintf(query, sizeof query, "create table t(x); insert into t values('%s'); select x from t", word);
	if (sqlite3_open(":memory:", &db) || sqlite3_exec(db, query, row, NULL, &error)) {
		fprintf(stderr, "sqlite: %s\n", error ? error : "no database");
		return 1;
	}
	while (!strcmp(word, "idle"))
		sleep(1000);
	return 0;
}
