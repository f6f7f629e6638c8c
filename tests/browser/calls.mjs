// What agencies and banks do meanwhile: lookups, and a delivery that stands still half way.
import { SERVICE, MANAGEMENT, TOKENS } from './browser.mjs';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import http from 'node:http';

// Takes part in both registers; the demo's token of a bank is its own.
export const BANK = '210099093';
export const NAME = 'Granskauen Bank';
const CUSTOMER = '01856867389';
export const CASE = randomUUID();

const today = () => new Date().toLocaleDateString('sv', { timeZone: 'Europe/Oslo' });

// A lookup in a case; its correlation.
export async function look(token = TOKENS.sandbox, mandate = 'Sandbox') {
  const correlation = randomUUID();
  const period = `fromDate=2024-01-01&toDate=${today()}`;
  const response = await fetch(`${SERVICE}/v2/customers/customerRelationships?${period}&onlyPrimaryOwner=false`, {
    headers: { Authorization: `Bearer ${token}`, CustomerID: CUSTOMER, CorrelationID: correlation, AccountInfoRequestID: CASE, 'Legal-Mandate': mandate },
  });
  await response.arrayBuffer();
  return { correlation, status: response.status };
}

export async function participants() {
  const headers = { Authorization: `Bearer ${TOKENS.sandbox}`, CorrelationID: randomUUID() };
  const response = await fetch(`${SERVICE}/v2/participants`, { headers });
  assert.equal(response.status, 200);
  return (await response.json()).participants;
}

export const metrics = async () => (await fetch(`${MANAGEMENT}/metrics`)).text();
export const head = async () => (await fetch(`${MANAGEMENT}/internal/audit/head`)).json();

const line = (customer) => `{"customerID":"${customer}","role":"owner","fromDate":"2015-01-01"}\n`;

// Delivers a whole set, with lines that are no records among them if asked for.
export async function deliver(lines, bad = 0) {
  const body = line(CUSTOMER).repeat(lines) + line('12345678901').repeat(bad);
  const response = await fetch(`${SERVICE}/v2/financialInstitutions/${BANK}/relationships?register=KFR&confirmShrink=true&maxRejects=${bad}`, {
    method: 'PUT', body, headers: { Authorization: `Bearer ${TOKENS.bank}`, 'Content-Type': 'application/x-ndjson' },
  });
  assert.equal(response.status, 200);
  return response.json();
}

// A delivery of which half has come, and then a line now and then; `finish` sends the rest.
export function halfDelivery() {
  const body = Buffer.from(line(CUSTOMER).repeat(60_000));
  const half = body.length / 2;
  const path = `/v2/financialInstitutions/${BANK}/relationships?register=KAR&confirmShrink=true`;
  const request = http.request(`${SERVICE}${path}`, {
    method: 'PUT', headers: { Authorization: `Bearer ${TOKENS.bank}`, 'Content-Type': 'application/x-ndjson', 'Content-Length': body.length },
  });
  const ended = new Promise((resolve, reject) => {
    request.on('response', (response) => { response.resume(); response.on('end', () => resolve(response.statusCode)); });
    request.on('error', reject);
  });
  request.write(body.subarray(0, half));
  let sent = half;
  const trickle = setInterval(() => { request.write(body.subarray(sent, sent + 100)); sent += 100; }, 5000);
  return { finish: () => { clearInterval(trickle); request.end(body.subarray(sent)); return ended; } };
}
