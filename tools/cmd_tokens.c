/* tokens: as whom umafs acts. */
#include <time.h>

#include "tools/cli.h"

enum { ANONYMOUS_ID = 32766 };

int cmd_tokens(struct cli *cli, const struct cli_args *args)
{
	static const char *const levels[] = { "clear", "auth", "crypt" };
	struct cm_token_info info;
	char when[FORMAT_SIZE], left[FORMAT_SIZE], id[FORMAT_SIZE] = "";
	bool nobody = cm_token_is_anonymous(cli->token);

	(void)args;
	cm_token_info(cli->token, &info);
	if (cli->json) {
		cli_result(cli, json_pack("{s:o, s:o, s:I, s:I, s:s, s:i, s:o}", "cell", cli_json_string(info.cell),
					  "principal", nobody ? json_null() : cli_json_string(info.principal),
					  "expires", (json_int_t)info.expires, "id", (json_int_t)info.vice_id, "level",
					  nobody ? "clear" : levels[info.level >= 0 && info.level < 3 ? info.level : 0],
					  "enctype", info.enctype, "note",
					  cli->anonymous_why[0] ? cli_json_string(cli->anonymous_why) : json_null()));
		return 0;
	}
	if (nobody) {
		printf("%s: anonymous%s%s\n", info.cell, cli->anonymous_why[0] ? ", because: " : "",
		       cli->anonymous_why);
		return 0;
	}
	if (info.vice_id && info.vice_id != ANONYMOUS_ID)
		snprintf(id, sizeof(id), " (AFS id %d)", info.vice_id);
	printf("%s: %s%s, expires %s", info.cell, info.principal, id, format_time(info.expires, true, when));
	if (info.expires)
		printf(" (%s left)", format_duration((double)(info.expires - (int64_t)time(NULL)), left));
	printf(", level %s\n", levels[info.level >= 0 && info.level < 3 ? info.level : 0]);
	return 0;
}
