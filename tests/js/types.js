import { connect } from "../../static/wsflask.js";
connect();
