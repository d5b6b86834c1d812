/** Every page's script: connect, and hand the connection to the parts of the page. */

import { showNotifications } from "./bell.js";
import { showBoard } from "./board.js";
import { showClipboard } from "./clips.js";
import { showClock } from "./clock.js";
import { showFlight } from "./flight.js";
import { showHere } from "./here.js";
import { showConnection } from "./pill.js";

const { connect } = await import(document.body.dataset.client ?? "");
const ws = connect();

showConnection(ws);
showNotifications(ws);
const clips = showClipboard(ws);
showClock(ws);
showBoard(ws, clips);
showFlight(ws, clips);
showHere(ws);
