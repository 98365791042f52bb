"""The SQL views of a record, for people who read it by hand: `trials` and `metrics`.

    sqlite3 run.db "select number, state, score from trials order by score desc limit 5"

`score` is that of one training. With `repeat` or `confirm`, a sample has several:

    select coalesce(repeat_of, number) as sample, avg(score) from trials group by 1 order by 2 desc

The program itself reads the table of events alone. A record may have these views and no other: they
are compared by their text, so that a view of somebody else never runs.
"""

from functools import reduce

# Python writes numbers that are not finite as words, which JSON does not have. With quotes in names
# written as \u0022, only such a number follows `": `.
_WORDS = {
    "\\\\": "\\u005c", '\\"': "\\u0022",
    '": NaN': '": null', '": Infinity': '": 9e999', '": -Infinity': '": -9e999',
}  # fmt: skip
_REPAIRED = reduce(
    lambda text, pair: f"replace({text}, '{pair[0]}', '{pair[1]}')", _WORDS.items(), "data"
)
_EVENTS = f"""
    select id, time, kind, trial,
        case when json_valid(data) then data else {_REPAIRED} end as data
    from events"""

# What a trial is told to be refused for, in figures, replaces what it reported.
_REFUSED = "(kind = 'failed' and coalesce(json_extract(data, '$.metrics'), '{}') != '{}')"

# The reports and the end of each trial, without what it reported before its last start: it reported
# that again.
_REPORTS = f"""
    select id, time, kind, trial, data,
        sum(kind = 'metrics') over (partition by trial order by id) as step
    from (
        select *, sum(kind = 'started' or {_REFUSED}) over (
            partition by trial order by id desc) - {_REFUSED} as later
        from ({_EVENTS} where kind in ('started', 'metrics', 'finished', 'stopped', 'failed'))
        where json_valid(data))
    where later = 0 and kind != 'started'"""

# One row for each number.
_FIGURES = f"""
    select report.id as id, report.trial as trial, report.step as step, report.time as time,
        figure.key as name, figure.atom as value
    from ({_REPORTS}) as report, json_each(
        case report.kind when 'failed' then coalesce(json_extract(report.data, '$.metrics'), '{{}}')
        else report.data end) as figure"""

_LARGEST = "1.7976931348623157e308"  # number that is finite

_OBJECTIVES = f"""
    select key as place, json_extract(value, '$.metric') as name,
        json_extract(value, '$.mode') as mode
    from json_each((select case json_type(data, '$.config.objective')
            when 'array' then json_extract(data, '$.config.objective')
            else json_array(json(json_extract(data, '$.config.objective'))) end
        from ({_EVENTS} where kind = 'begun') where json_valid(data)))"""

_METRICS = f"""metrics as
select trial, step, name, value, time from ({_FIGURES})"""

_TRIALS = f"""trials as
with starts as (
    select trial, max(id) as id, time from events where kind = 'started' group by trial
),
ends as (
    select trial, max(id) as id, time, kind, data
    from ({_EVENTS} where kind in ('finished', 'stopped', 'failed')) group by trial
),
objectives as ({_OBJECTIVES}),
final as (select trial, name, value, max(id) as id from ({_FIGURES}) group by trial, name),
summaries as (
    select trial, json_group_object(final.name, json(
            case when value is null then 'null' when typeof(value) = 'integer' then value
            when value > {_LARGEST} then '9e999' when value < -{_LARGEST} then '-9e999'
            else printf('%!.17g', value) end)) as metrics,
        case when sum(place is not null and abs(value) <= {_LARGEST})
            = (select count(*) from objectives)
            then max(case place when 0 then case mode when 'max' then value else -value end end)
            end as score
    from final left join objectives on final.name = objectives.name group by trial
)
select proposed.trial as number,
    coalesce((select kind from ends where trial = proposed.trial), 'running') as state,
    coalesce(json_extract(proposed.data, '$.stage'), 'search') as stage,
    case (select kind from ends where trial = proposed.trial) when 'finished'
        then (select score from summaries where trial = proposed.trial) end as score,
    coalesce((select metrics from summaries where trial = proposed.trial), '{{}}') as metrics,
    json_extract(proposed.data, '$.sample') as sample,
    (select time from ends where trial = proposed.trial)
        - (select time from starts where trial = proposed.trial) as seconds,
    (select json_extract(data, '$.reason') from ends
        where trial = proposed.trial and kind = 'failed') as reason,
    (select json_extract(data, '$.text') from ends
        where trial = proposed.trial and kind = 'failed') as error,
    json_extract(proposed.data, '$.duplicate_of') as duplicate_of,
    json_extract(proposed.data, '$.parent') as parent,
    json_extract(proposed.data, '$.repeat_of') as repeat_of,
    json_extract(proposed.data, '$.seed') as seed,
    proposed.time as proposed_at,
    (select time from starts where trial = proposed.trial) as started_at,
    (select time from ends where trial = proposed.trial) as ended_at
from ({_EVENTS} where kind = 'proposed') as proposed where json_valid(proposed.data)"""

VIEWS = {"trials": f"CREATE VIEW {_TRIALS}", "metrics": f"CREATE VIEW {_METRICS}"}
