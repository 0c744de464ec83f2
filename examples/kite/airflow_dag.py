"""The daily import from Kite as an Airflow DAG: what to do next is told by everybar's exit code."""

import os
import subprocess
from datetime import timedelta

import pendulum
from airflow.decorators import dag, task
from airflow.exceptions import AirflowException, AirflowFailException

FOLDER = os.environ.get("EVERYBAR_FOLDER", "/srv/everybar")

# Worth another try: the venue or the database is down (5), or something is still missing (3).
RETRY = {3, 5}
NEEDS_A_PERSON = {
    1: "it failed; see its log",
    2: "the configuration or a filter is wrong",
    4: "verification found corruption: everybar verify",
    10: "there is no such data root",
    11: "another run holds the root",
    12: "the login has ended: everybar kite login, then clear this task",
}


def everybar(*arguments: str) -> None:
    code = subprocess.run(["everybar", *arguments], cwd=FOLDER, check=False).returncode
    if code == 0:
        return
    command = " ".join(("everybar", *arguments))
    if code in RETRY:
        raise AirflowException(f"{command}: exit code {code}, to be tried again")
    raise AirflowFailException(f"{command}: exit code {code}: {NEEDS_A_PERSON.get(code, 'stopped')}")


@dag(
    schedule="30 18 * * 1-5",
    start_date=pendulum.datetime(2024, 1, 1, tz="Asia/Kolkata"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["kite", "everybar"],
)
def import_historic_data_from_kite():
    @task
    def instruments():
        everybar("instruments", "sync", "kite")

    @task
    def candles():
        everybar("sync")

    instruments() >> candles()


import_historic_data_from_kite()
